//! The modules that examples share.

#[path = "../../examples/common"]
mod common {
    pub(crate) mod escape;
    pub(crate) mod list;
    pub(crate) mod numbers;
    pub(crate) mod plural;
    pub(crate) mod table;
}

use common::{
    escape::escaped,
    list::item,
    numbers::between,
    plural::count,
    table::{
        Align::{Left, Right},
        Table,
    },
};

#[test]
fn escaped_text_is_one_line_and_commands_no_terminal() {
    for (raw, safe) in [
        ("models/été 学 (1) \"a\" 'b' \\c", "models/été 学 (1) \"a\" 'b' \\c"),
        ("e\u{301}te\u{301}", "e\u{301}te\u{301}"), // letters with combining accents, as some file systems store them
        ("a\nerror: b", "a\\nerror: b"),
        ("\u{1b}[2J\r\t\u{7}\0\u{7f}", "\\u{1b}[2J\\r\\t\\u{7}\\0\\u{7f}"),
        ("\u{9b}31m", "\\u{9b}31m"), // a control sequence in one character
        ("a\u{202e}b\u{200b}", "a\\u{202e}b\\u{200b}"), // right to left, and no width at all
    ] {
        assert_eq!(escaped(raw), safe);
    }
}

#[test]
fn items_of_a_list_may_have_spaces_around_them() {
    let list = |text: &str| text.split(',').map(item::<u32>).collect::<Result<Vec<_>, _>>();
    assert_eq!(list("1, 2,3 ,\t4"), Ok(vec![1, 2, 3, 4]));
    for wrong in ["1,,2", "1 2", "1;2", "-1", ""] {
        assert!(list(wrong).is_err(), "{wrong}");
    }
    assert_eq!(item(" 0.5 "), Ok(0.5));
}

#[test]
fn numbers_between_bounds() {
    let parse = between(0.5..=3600.0);
    assert_eq!(parse("0.5"), Ok(0.5));
    assert_eq!(parse(" 3.6e3 "), Ok(3600.0));
    for wrong in ["0.4999", "3601", "-1", "nan", "inf", "1e400"] {
        assert_eq!(parse(wrong), Err("not between 0.5 and 3600.0".to_owned()), "{wrong}");
    }
    assert_eq!(parse("one"), Err("not a number".to_owned()));
}

#[test]
fn counts_of_one_are_singular() {
    let counted = [0, 1, 2, 11].map(|number| count(number, "client", "clients"));
    assert_eq!(counted, ["0 clients", "1 client", "2 clients", "11 clients"]);
}

#[test]
fn columns_stay_aligned() {
    let mut table = Table::new([("name", Left), ("count", Right), ("µs", Right)]);
    let rows = [["a", "1", "0.5"], ["a long name", "4294967295", "1"]].map(|row| row.map(str::to_owned));
    for row in &rows {
        table.fit(row);
    }
    assert_eq!(table.heading(), "name              count   µs");
    assert_eq!(table.row(&rows[0]), "a                     1  0.5");
    assert_eq!(table.row(&rows[1]), "a long name  4294967295    1");
    // A row that is wider than expected widens its columns from there on.
    let wide = ["b", "42949672950", "1"].map(str::to_owned);
    assert_eq!(table.row(&wide), "b            42949672950    1");
    assert_eq!(table.row(&rows[0]), "a                      1  0.5");
}
