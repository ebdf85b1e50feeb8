#!/usr/bin/env python3
"""Parse what examples/android and examples/ios have in languages whose compilers are not here.

    pip install tree-sitter tree-sitter-kotlin tree-sitter-swift
    python tests/mobile/syntax.py

Kotlin, Gradle's scripts (which are Kotlin) and Swift are parsed by tree-sitter's grammars, Android's manifest by Python's XML. That a file parses does not
say that its names exist: tests/link/mobile.rs and kotlin.py look at those.
"""
import pathlib
import sys
import xml.etree.ElementTree as xml

import tree_sitter
import tree_sitter_kotlin
import tree_sitter_swift

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
LANGUAGES = {".kt": tree_sitter_kotlin, ".kts": tree_sitter_kotlin, ".swift": tree_sitter_swift}
ANDROID = "{http://schemas.android.com/apk/res/android}"


def wrong(node):
    """Where the tree has a node for what could not be parsed, or for what is not there."""
    if node.is_error or node.is_missing:
        yield f"{node.start_point.row + 1}:{node.start_point.column + 1}: {node.type}"
    for child in node.children:
        yield from wrong(child)


def parses(language, text):
    parser = tree_sitter.Parser(tree_sitter.Language(LANGUAGES[language].language()))
    return list(wrong(parser.parse(text).root_node))


def main():
    failures = []
    # The parsers themselves: a brace too few is seen.
    for language, text in [(".kt", b"class A { fun b() {"), (".swift", b"class A { func b() {")]:
        if not parses(language, text):
            failures.append(f"{language}: the parser takes what is wrong")
    found = {}
    for example in ["android", "ios"]:
        for path in sorted((EXAMPLES / example).rglob("*")):
            if path.suffix in LANGUAGES and "build" not in path.parts:
                found[path.suffix] = found.get(path.suffix, 0) + 1
                failures += [f"{path}:{place}" for place in parses(path.suffix, path.read_bytes())]
    manifest = xml.parse(EXAMPLES / "android/app/src/main/AndroidManifest.xml").getroot()
    activity = manifest.find("application/activity")
    source = EXAMPLES / "android/app/src/main/kotlin/com/example/gesture" / (activity.get(ANDROID + "name").lstrip(".") + ".kt")
    if not source.exists():
        failures.append(f"the manifest names an activity that is not in {source}")
    if set(found) != set(LANGUAGES):
        failures.append(f"files were found of {sorted(found)} only")
    print("\n".join(failures + [", ".join(f"{count} {suffix}" for suffix, count in sorted(found.items())) + f" and a manifest: {len(failures)} wrong"]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
