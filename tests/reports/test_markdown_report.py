import pytest
from check_records import CLEAN, EMPTY, NASTY, UNUSUAL, check, example, many, rule
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from saliency_cli.reports import markdown
from saliency_cli.reports.blocks import Block, joined
from saliency_cli.reports.plaintext import one_line
from saliency_cli.verdicts import WorstRecord

EXAMPLE = """\
### ❌ saliency check: 2 of 5 rules failed on 64 inputs, 1 rule could not be judged, 1 warning, 1 input could not \
be measured

|  | rule | measured | value | limit | baseline | difference | 95 % interval |
| :-- | :-- | :-- | --: | --: | --: | --: | --: |
| 🚫 error | `object` | `rank_in_mask mean` | — | — | — | — | — |
| ❌ fail | `sensitivity-not-up` | `loss_grad_l2 median` | 4.91 | ≤ 4.41 | 3.53 | +1.38 (+39.1%) | [4.60, 5.20] |
| ❌ fail | `looks-at-object` | `mass_in_mask each`<br>3 of 64 inputs break it, 1 allowed | \
0.0200 | ≥ 0.100 | — | — | — |
| ⚠️ warning | `same-evidence` | `pearson median` | 0.8499 | ≥ 0.8500 | — | — | — |
| ✅ pass | `maps-are-finite` | `finite min` | 1.00 | ≥ 1.00 | — | — | — |

- `object`: no input has a mask → name their folder: masks = "ci/masks"

To accept the new maps: `saliency check --update-baseline`

<details><summary>Worst inputs of <code>sensitivity-not-up</code></summary>

| input | value |
| :-- | --: |
| `ci/017.png` | 11.2 (was 3.00) |
| `ci/044.png` | 9.80 |

</details>

<details><summary>Worst inputs of <code>looks-at-object</code></summary>

| input | value |
| :-- | --: |
| `ci/017.png` | 0.0200 |

</details>

<details><summary>Worst inputs of <code>same-evidence</code></summary>

| input | value |
| :-- | --: |
| `ci/nan.png` | is NaN |

</details>

<details><summary>1 input could not be measured</summary>

- `ci/bad.png`: not a picture

</details>

Compared with ci/baseline: 60 matched, 1 new, 1 changed.

<details><summary>New: 1 input</summary>

- `ci/n.png`

</details>

<details><summary>Changed: 1 input</summary>

- `ci/c.png`

</details>

- the baseline was made with TensorFlow 2.20

<sub>saliency 0.1.0 · model models/current.keras (weights 0123456789ab) · smoothgrad · policy saliency.toml · \
profile finetune · 2026-11-21T05:00:00Z</sub>
"""
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def read(text):
    """Return the tables of a text as rows of (kind, content) cells, read by a Markdown library."""
    tables, rows = [], None
    tokens = READER.parse(text)
    for position, token in enumerate(tokens):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            rows = []
            tables[-1].append(rows)
        elif token.type in ("td_open", "th_open"):
            rows.append([(child.type, child.content) for child in tokens[position + 1].children])
    return tables


def test_a_check_of_everything():
    assert markdown.encode(example()) == EXAMPLE


def test_a_clean_check_is_short():
    assert markdown.encode(CLEAN) == (
        "### ✅ saliency check: 1 rule kept on 8 inputs\n"
        "\n"
        "|  | rule | measured | value | limit | baseline | difference | 95 % interval |\n"
        "| :-- | :-- | :-- | --: | --: | --: | --: | --: |\n"
        "| ✅ pass | `kept` | `gini median` | 0.500 | ≤ 1.00 | — | — | — |\n"
        "\n"
        "<sub>policy saliency.toml</sub>\n"
    )


def test_empty_and_unusual():
    assert markdown.encode(EMPTY) == "### ❌ saliency check: no rule was checked on 0 inputs\n"
    text = markdown.encode(UNUSUAL)
    rows = read(text)[0]
    assert [row[1] for row in rows[1:]] == [
        [("code_inline", name)] for name in ("—", "größe-日本", "nan", "surrogate-�", "same", "same")
    ]
    assert [cell[0][1] for cell in rows[3][3:]] == ["nan", "≤ 1.00", "inf", "-inf (nan%)", "—"]
    assert text.encode()


def test_five_hundred_broken_rules_fit_a_comment():
    text = markdown.encode(many(500))
    assert len(text.encode()) <= 60_000
    assert len(read(text)[0]) == 501


def test_of_many_rules_the_kept_ones_are_folded():
    record = many(20, "pass")
    assert len(read(markdown.encode(record))[0]) == 21
    record.rules.append(rule("broken"))
    text = markdown.encode(record)
    broken, kept = read(text)
    assert [row[1] for row in broken[1:]] == [[("code_inline", "broken")]]
    assert len(kept) == 21
    assert "<details><summary>20 rules kept</summary>\n" in text


def test_what_does_not_fit_is_counted_and_what_is_wrong_is_kept():
    record = many(2000, "pass")
    record.rules += [rule("broken", worst=[WorstRecord(id=f"{number}.png", value=1.0) for number in range(50)])]
    record.notes = ["a note of two hundred signs, for which there is no room " * 4]
    text = markdown.encode(record)
    assert 59_000 < len(text.encode()) <= 60_000
    broken, worst, kept = read(text)
    assert broken[1][1] == [("code_inline", "broken")]
    assert len(worst) == 51
    left_out = 2000 - (len(kept) - 1) + len(record.notes)
    assert text.endswith(f"\n*{left_out:,} more lines were left out: this may hold 60,000 bytes.*\n")
    assert text.count("<details>") == text.count("</details>") == 2


@given(NASTY)
def test_any_id_is_one_cell_of_code(name):
    record = check(rule(name, worst=[WorstRecord(id=name, value=1.0)]))
    rules, worst = read(markdown.encode(record))
    shown = one_line(name) if one_line(name).strip() else "—"
    assert [len(row) for row in rules] == [8, 8]
    assert rules[1][1] == [("code_inline", shown)]
    assert worst[1] == [[("code_inline", shown)], [("text", "1.00")]]


@given(NASTY)
def test_code_outside_a_table_shows_any_text(name):
    (paragraph,) = [token for token in READER.parse(f"x {markdown.code(name)}") if token.type == "inline"]
    shown = one_line(name) if one_line(name).strip() else "—"
    assert [(child.type, child.content) for child in paragraph.children[1:]] == [("code_inline", shown)]


@given(NASTY)
def test_escaped_text_is_shown_as_it_is(text):
    for source in (
        f"x {markdown.escape(text)}",
        f"- {markdown.escape(text)}",
        f"| a |\n| - |\n| {markdown.escape(text)} |",
    ):
        inline = [token for token in READER.parse(source) if token.type == "inline"]
        children = inline[-1].children if inline else []
        assert {child.type for child in children} <= {"text", "html_inline", "text_special"}
        assert all(child.content == "<!-- -->" for child in children if child.type == "html_inline")
        shown = "".join(child.content for child in children if child.type != "html_inline").removeprefix("x ")
        if text.strip():
            assert shown.strip() in (one_line(text).strip(), "a")
        types = [token.type for token in READER.parse(source)]
        assert "heading_open" not in types
        assert types.count("bullet_list_open") == source.startswith("- ")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("loss_grad_l2", "loss_grad_l2"),
        ("_a_ *b*", r"\_a\_ \*b\*"),
        ("- item", r"\- item"),
        ("-0.8 and 2.5", "-0.8 and 2.5"),
        ("1. one", r"1\. one"),
        ("# head", r"\# head"),
        ("see #12, @you", "see #<!-- -->12, @<!-- -->you"),
        ("<b>&amp;", r"&lt;b\>&amp;amp;"),
        ("$x$", r"\$x\$"),
        ("a|b", r"a\|b"),
    ],
)
def test_escapes(text, escaped):
    assert markdown.escape(text) == escaped


def test_the_table_other_commands_draw():
    assert markdown.table(("a", "b"), [("1", "2")], right=(1,)) == ["| a | b |", "| :-- | --: |", "| 1 | 2 |"]


@given(
    st.lists(
        st.builds(
            Block,
            st.lists(st.text("aé", max_size=40), max_size=2),
            st.lists(st.text("bé", max_size=40), max_size=8),
            st.lists(st.text("cé", max_size=9), max_size=1),
        ),
        max_size=6,
    ),
    st.integers(150, 900),
)
def test_joined_blocks_fit_their_limit(blocks, limit):
    text = joined(blocks, limit)
    assert len(text.encode()) <= limit
    if "left out" not in text:
        wanted = [line for block in blocks for line in (*block.head, *block.rows, *block.tail) if line]
        assert [line for line in text.splitlines() if line] == wanted
