"""Files as other tools and people write them, each of another shape, with what must become of it.

`corrections` are what a person changes in the wizard: columns, values or the kind. One at most.
"""

import gzip
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import Any

import pyarrow
from pyarrow import parquet

from feedback.formats.tables import spreadsheet


@dataclass(frozen=True)
class ForeignFile:
    """
    Attributes:
        kinds: rows by task kind that must come in.
        answers: how many annotations must come in with them.
        columns: corrected columns. At most one of this, `values` and `changes` is given, with one entry.
    """

    name: str
    content: bytes
    kinds: dict[str, int]
    answers: int
    columns: dict[str, str] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def corrections(self) -> int:
        return len(self.columns) + len(self.changes)


def text(*lines: str, encoding: str = "utf-8", end: str = "\n") -> bytes:
    return (end.join(lines) + end).encode(encoding)


def json_lines(*rows: object) -> bytes:
    return text(*(json.dumps(row, ensure_ascii=False) for row in rows))


def xlsx(*rows: list[str]) -> bytes:
    out = io.BytesIO()
    spreadsheet.write(rows, out)
    return out.getvalue()


def parquet_file(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("__MACOSX/._" + name, b"finder")
        archive.writestr(name, content)
    return out.getvalue()


FILES = [
    ForeignFile(  # a table of reviews with stars, for a scheme of three sentiments
        "reviews.csv",
        text("review_id,body,stars", 'r1,"Broke after a day, sadly.",1', "r2,It is all right.,3", "r3,Lovely!,5"),
        {"classification": 3},
        3,
    ),
    ForeignFile(  # semicolons, Windows line ends, and the encoding of an old Excel
        "umfrage.csv",
        text(
            "Nr;Text;Sentiment",
            "1;Schöne Tür, müßig gebaut;positive",
            "2;Größe völlig daneben;negative",
            encoding="cp1252",
            end="\r\n",
        ),
        {"classification": 2},
        2,
    ),
    ForeignFile(  # tabs, no header
        "intents.tsv",
        text("Where is my parcel, is it late?\tneutral", "This is great\tpositive", "Awful, never again\tnegative"),
        {"classification": 3},
        3,
        columns={"Column 2": "label"},
    ),
    ForeignFile(  # a spreadsheet with a title above its header, and numbers as numbers
        "ratings.xlsx",
        xlsx(
            ["Survey of replies", "", ""],
            ["Question", "Reply", "Score"],
            ["How do I reset it?", "Hold the button.", "4"],
            ["Is it waterproof?", "No.", "2"],
        ),
        {"rating": 2},
        2,
    ),
    ForeignFile(  # two models side by side, the winner by the model's column
        "side_by_side.csv",
        text(
            "question,gpt_output,llama_output,winner",
            "Why is the sky blue?,Scattering.,Because.,gpt_output",
            "Who wrote Emma?,Austen.,Jane Austen.,llama_output",
            "2+2?,4,four,tie",
        ),
        {"comparison": 3},
        3,
    ),
    ForeignFile(  # one-hot outcomes
        "battles.csv",
        text(
            "id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie",
            "b1,Name a river.,Elbe,Po,1,0,0",
            "b2,Name a sea.,Aral,North Sea,0,1,0",
            "b3,Name a lake.,Como,Garda,0,0,1",
        ),
        {"comparison": 3},
        3,
    ),
    ForeignFile(  # JSON Lines with nested fields and a numbered choice
        "summaries.jsonl",
        json_lines(
            {
                "info": {"post": "A long story about a dog.", "id": "p1"},
                "summaries": [{"text": "A dog.", "policy": "sft"}, {"text": "Dogs are long.", "policy": "ppo"}],
                "choice": 0,
            },
            {
                "info": {"post": "A story about a cat.", "id": "p2"},
                "summaries": [{"text": "Cat?", "policy": "sft"}, {"text": "About a cat.", "policy": "ppo"}],
                "choice": 1,
            },
        ),
        {"comparison": 2},
        2,
    ),
    ForeignFile(  # instruction, input, output
        "instructions.json",
        json.dumps(
            [
                {"instruction": "Translate into German.", "input": "dog", "output": "Hund"},
                {"instruction": "Name a color.", "input": "", "output": "Red"},
            ],
            indent=1,
        ).encode(),
        {"demonstration": 2},
        2,
    ),
    ForeignFile(  # chats with from and value
        "chats.json",
        json.dumps(
            [
                {"id": "c1", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
                {
                    "id": "c2",
                    "conversations": [{"from": "human", "value": "Bye"}, {"from": "gpt", "value": "See you."}],
                },
            ]
        ).encode(),
        {"prompt": 2},
        0,
    ),
    ForeignFile(  # tokens with a tag each
        "ner.parquet",
        parquet_file(
            tokens=[["Anna", "flew", "to", "New", "York"], ["It", "rains"]],
            ner_tags=[["B-PER", "O", "O", "B-LOC", "I-LOC"], ["O", "O"]],
        ),
        {"spans": 2},
        2,
    ),
    ForeignFile(  # entities with offsets inside one JSON object
        "entities.json",
        json.dumps(
            {
                "version": 2,
                "examples": [
                    {"text": "Anna lives in Rome.", "entities": [{"start_offset": 0, "end_offset": 4, "label": "PER"}]},
                    {"text": "Nothing here.", "entities": []},
                ],
            }
        ).encode(),
        {"spans": 2},
        2,
    ),
    ForeignFile(  # a column for each label, in UTF-16
        "toxic.csv",
        text(
            "id,comment_text,toxic,insult",
            "t1,You fool!,1,1",
            "t2,Nice day.,0,0",
            "t3,Horrible rubbish,1,0",
            encoding="utf-16",
        ),
        {"classification": 3},
        3,
    ),
    ForeignFile(  # thumbs of a log, gzipped
        "thumbs.jsonl.gz",
        gzip.compress(
            json_lines(
                {"user_message": "Help me", "assistant_response": "Gladly.", "feedback": "thumbs up", "user_id": "u7"},
                {"user_message": "Help", "assistant_response": "No.", "feedback": "thumbs down", "user_id": "u8"},
            )
        ),
        {"thumb": 2},
        2,
    ),
    ForeignFile(  # left and right in a zip, with bars between the cells
        "export.zip",
        zipped(
            "export.txt", text("query|left|right|preferred", "Best tea?|Assam|Ceylon|right", "Best cake?|Pie|None|left")
        ),
        {"comparison": 2},
        2,
    ),
    ForeignFile(  # four candidates with an order
        "orders.csv",
        text(
            "prompt,answer1,answer2,answer3,answer4,ranking",
            "Say hi.,Hi,Hello,Hey,Yo,b > a = c > d",
            "Say no.,No,Nope,Nay,Never,a > d > b > c",
        ),
        {"ranking": 2},
        2,
    ),
    ForeignFile(  # chosen and rejected with names of their own
        "prefs.parquet",
        parquet_file(
            instruction=["Be kind.", "Be brief."],
            chosen_response=["You are great.", "Ok."],
            rejected_response=["Go away.", "Well, let me begin by saying"],
        ),
        {"comparison": 2},
        2,
    ),
    ForeignFile(  # plain questions, to be written
        "questions.txt",
        text("question", "How tall is it?", "How old is it?"),
        {"demonstration": 2},
        0,
        changes={"kind": "demonstration"},
    ),
]
