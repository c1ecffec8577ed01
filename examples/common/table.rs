//! Tables with aligned columns, for any content.

/// The alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// The columns of a table, printed line by line.
///
/// A column is as wide as its widest cell so far. If rows come one by one, [`fit`](Self::fit)
/// reserves width for later rows.
#[derive(Clone, Debug)]
pub(crate) struct Table<const N: usize> {
    headings: [&'static str; N],
    alignment: [Align; N],
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [(&'static str, Align); N]) -> Self {
        let headings = columns.map(|(heading, _)| heading);
        let alignment = columns.map(|(_, alignment)| alignment);
        Self { headings, alignment, widths: headings.map(width) }
    }

    /// Makes every column wide enough for its cell.
    pub(crate) fn fit(&mut self, cells: &[String; N]) {
        for (old, cell) in self.widths.iter_mut().zip(cells) {
            *old = width(cell).max(*old);
        }
    }

    /// The line with the headings.
    pub(crate) fn heading(&self) -> String {
        self.line(&self.headings.map(str::to_owned))
    }

    /// A row's line.
    pub(crate) fn row(&mut self, cells: &[String; N]) -> String {
        self.fit(cells);
        self.line(cells)
    }

    fn line(&self, cells: &[String; N]) -> String {
        let padded = cells.iter().zip(&self.alignment).zip(self.widths).map(|((cell, alignment), width)| {
            match alignment {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}
