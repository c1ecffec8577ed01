"""Prints the names that a crate exports, from rustdoc's JSON: their number, then kind and path, one a line.

    python3 .ci/steps/public_names.py target/doc/CRATE.json
    python3 .ci/steps/public_names.py --without-example target/doc/CRATE.json FILE...

With `--without-example` it prints only the names that no example contains: neither the code in the
crate's documentation nor the FILEs, which are Rust or Markdown. Modules need no example, and neither
do the names of the module `diagnostics`.
"""

import json
import re
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


def main(arguments):
    without_example = arguments[:1] == ["--without-example"]
    path, *files = arguments[1:] if without_example else arguments
    with open(path, encoding="utf-8") as file:
        crate = json.load(file)
    names = set()
    root = crate["index"][str(crate["root"])]
    visit(crate, root, root["name"], names, frozenset())
    if without_example:
        words = set(re.findall(r"\w+", examples(crate, files)))
        names = {(path, kind) for path, kind in names if needs_example(path, kind) and last(path) not in words}
    print(len(names))
    for path, kind in sorted(names):
        print(kind, path)


def needs_example(path, kind):
    return kind != "mod" and "::diagnostics::" not in path


def last(path):
    return path.rsplit("::", 1)[-1]


def examples(crate, files):
    """The code in the documentation of the crate's items, and in these files."""
    texts = [code_in(item["docs"]) for item in crate["index"].values() if item["docs"]]
    for name in files:
        with open(name, encoding="utf-8") as file:
            texts.append(file.read() if name.endswith(".rs") else code_in(file.read()))
    return "\n".join(texts)


def code_in(markdown):
    return "\n".join(re.findall(r"^```.*?\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL))


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
    main(sys.argv[1:])
