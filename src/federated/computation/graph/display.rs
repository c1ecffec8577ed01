//! The text form of a computation's graph: its operations, by round.

use core::fmt;

use super::{node::Operation, rounds::Graph};

pub(in crate::federated::computation) fn write(graph: &Graph, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for round in 0..=graph.rounds {
        if round > 0 {
            writeln!(f, "round {round}")?;
            for node in 0..graph.nodes.len() {
                if graph.at_clients(node) && graph.when[node] == round - 1 {
                    write_node(graph, node, f)?;
                }
            }
            graph.exits(round - 1).try_for_each(|node| write_node(graph, node, f))?;
        }
        graph.server_nodes(round).try_for_each(|node| write_node(graph, node, f))?;
    }
    let outputs: Vec<_> = graph.outputs.iter().map(|node| format!("v{node}")).collect();
    writeln!(f, "outputs  {}", outputs.join(", "))
}

fn write_node(graph: &Graph, number: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let node = &graph.nodes[number];
    write!(f, "{:<8} v{number} = {}", node.placement.name(), node.describe())?;
    if !matches!(node.operation, Operation::Input { .. } | Operation::Constant(_)) {
        let inputs: Vec<_> = graph.inputs[number].iter().map(|input| format!("v{input}")).collect();
        write!(f, "({})", inputs.join(", "))?;
    }
    writeln!(f, ": {}", short(node.type_name))
}

/// A type's name without the paths of its parts: `Vec<f32>` for `alloc::vec::Vec<f32>`.
fn short(type_name: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut short = String::new();
    let mut rest = type_name;
    while let Some(start) = rest.find(is_word) {
        short.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        short.push_str(word.rsplit("::").next().unwrap_or(word));
        rest = &rest[end..];
    }
    short.push_str(rest);
    arrays(&short)
}

/// `Array2<f32>` for the compiler's name of an owned array of `ndarray` with two dimensions.
fn arrays(type_name: &str) -> String {
    const START: &str = "ArrayBase<OwnedRepr<";
    let Some((before, rest)) = type_name.split_once(START) else { return type_name.into() };
    let array = |rest: &str| {
        let (element, rest) = rest.split_once(">, Dim<")?;
        let (dimensions, rest) = rest.split_once(&format!(">, {element}>"))?;
        let dimensions = dimensions.strip_prefix("[usize; ").and_then(|n| n.strip_suffix(']')).unwrap_or("D");
        Some(format!("Array{dimensions}<{element}>{}", arrays(rest)))
    };
    let array = array(rest).unwrap_or_else(|| format!("{START}{}", arrays(rest)));
    format!("{before}{array}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_shown_without_paths() {
        for (long, expected) in [
            ("u64", "u64"),
            ("alloc::vec::Vec<f32>", "Vec<f32>"),
            ("(alloc::string::String, [u8; 4])", "(String, [u8; 4])"),
            ("&str", "&str"),
        ] {
            assert_eq!(short(long), expected);
        }
    }

    #[test]
    fn arrays_are_shown_by_their_aliases() {
        use core::any::type_name;

        use ndarray::{Array0, Array2, ArrayD, ArrayView1};

        assert_eq!(short(type_name::<Array2<f32>>()), "Array2<f32>");
        let pair = short(type_name::<(Vec<Array0<u8>>, ArrayD<f64>)>());
        assert_eq!(pair, "(Vec<Array0<u8>>, ArrayD<f64>)");
        // Other types keep their names.
        let view = short(type_name::<(ArrayView1<'_, i8>, Array2<i8>)>());
        assert!(view.starts_with("(ArrayBase<ViewRepr<&i8>") && view.ends_with(", Array2<i8>)"), "{view}");
    }
}
