//! A computation's graph for people: its operations, by round.

use core::fmt;

use super::{graph::Graph, node::Operation};

pub(super) fn write(graph: &Graph, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_lose_their_paths() {
        for (long, expected) in [
            ("u64", "u64"),
            ("alloc::vec::Vec<f32>", "Vec<f32>"),
            ("(alloc::string::String, [u8; 4])", "(String, [u8; 4])"),
            (
                "core::option::Option<ndarray::ArrayBase<ndarray::data_repr::OwnedRepr<f32>, ndarray::Ix2>>",
                "Option<ArrayBase<OwnedRepr<f32>, Ix2>>",
            ),
            ("&str", "&str"),
        ] {
            assert_eq!(short(long), expected);
        }
    }
}
