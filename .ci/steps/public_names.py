"""Prints the names that a crate exports, from rustdoc's JSON: their number, then kind and path, one a line.

    python3 .ci/steps/public_names.py target/doc/CRATE.json
"""

import json
import sys

# Kinds of items that a caller names by a path. Methods, fields and variants belong to one of these.
KINDS = {
    "constant": "const",
    "enum": "enum",
    "function": "fn",
    "macro": "macro",
    "module": "mod",
    "proc_macro": "macro",
    "proc_attribute": "macro",
    "proc_derive": "derive",
    "static": "static",
    "struct": "struct",
    "trait": "trait",
    "trait_alias": "trait",
    "type_alias": "type",
    "union": "union",
}


def main(path):
    with open(path, encoding="utf-8") as file:
        crate = json.load(file)
    names = set()
    root = crate["index"][str(crate["root"])]
    visit(crate, root, root["name"], names, frozenset())
    print(len(names))
    for path, kind in sorted(names):
        print(kind, path)


def visit(crate, module, path, names, inside):
    """Adds the exported items of a module, with those that it exports again from elsewhere."""
    if module["id"] in inside:
        return
    inside |= {module["id"]}
    for number in module["inner"]["module"]["items"]:
        item = crate["index"][str(number)]
        if item["visibility"] != "public" and "impl" not in item["inner"]:
            continue
        if "use" in item["inner"]:
            use = item["inner"]["use"]
            target = crate["index"].get(str(use["id"]))
            if use["is_glob"]:
                if target is not None and "module" in target["inner"]:
                    visit(crate, target, path, names, inside)
                else:
                    names.add((f"{path}::*", f"use {use['source']}::*"))
                continue
            add(crate, use["name"], path, target, crate["paths"].get(str(use["id"])), names, inside)
        else:
            add(crate, item["name"], path, item, None, names, inside)


def add(crate, name, path, item, summary, names, inside):
    """Adds one item by the name under which it is exported; `item` is none if it is another crate's."""
    here = f"{path}::{name}"
    if item is None:
        kind = summary["kind"] if summary else "use"
        names.add((here, KINDS.get(kind, kind)))
        return
    (kind,) = item["inner"]
    if kind not in KINDS:
        return
    names.add((here, KINDS[kind]))
    if kind == "module":
        visit(crate, item, here, names, inside)


if __name__ == "__main__":
    main(*sys.argv[1:])
