"""Write what the documentation generates: `python -m tests.write_docs`. `tests/test_docs.py` holds it up to date."""

from pathlib import Path

from feedback.rules.platform.glossary import TERMS

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEAD = """# Glossary

The pages show the first sentence of each entry where the word stands, and `/glossary/` lists them all. This page is
generated from the same source: `python -m tests.write_docs`.

Names that differ between the API or database and the pages:

| on pages | in the API and in code |
|---|---|
| pipeline run | `chains/`, `Chain` |
| site admin | `is_site_admin` |
| response; completion inside `trainer` | `Response`; `completion` |
| validation split | `selection` |
| guard model, pre-annotation tagger | `guard`, `marker` |
| qualification round | `training_round` |
| gold task | `Task.gold` |
| comparison of models, comparison by people | `contests/`, `Contest` |
| reviewer's decision on a task | `Verdict` |
"""


def glossary() -> str:
    """The glossary page: every term with its short, detailed and everyday explanation."""
    entries = []
    for term in sorted(TERMS.values(), key=lambda one: one.name.lower()):
        paragraphs = [f"## {term.name}", term.short, term.detail]
        if term.everyday:
            paragraphs.append(f"*Think of:* {term.everyday}")
        entries.append("\n\n".join(paragraphs))
    return "\n\n".join([HEAD.strip(), *entries]) + "\n"


if __name__ == "__main__":
    (DOCS / "glossary.md").write_text(glossary(), encoding="utf-8")
