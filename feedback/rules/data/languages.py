"""Language identification, and the filter for corpora that keep only some languages.

By py3langid, a model of byte sequences of 4 MB that lies in its package, with no network. On 1,167 English messages of
Open-Assistant it names English for 99.3 %, of those of 50 characters and more for 99.7 %. Languages that are close
(Bosnian, Croatian, Serbian; Norwegian, Danish) are often taken for one another: keep both, or neither.
"""

from collections.abc import Collection

OTHER = "language"
READ = 2000  # characters that are looked at
FEWEST = 25  # letters; less says too little, and is kept

NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali",
    "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian",
    "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "la": "Latin",
    "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi",
    "ms": "Malay", "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian",
    "so": "Somali", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu",
    "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese",
    "xh": "Xhosa", "yo": "Yoruba", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip


def language(text: str) -> str | None:
    """The likeliest code in NAMES. None if the text has too few letters."""
    import py3langid  # with its model, loaded by workers that read documents, and by nobody else

    part = text[:READ]
    if sum(map(str.isalpha, part)) < FEWEST:
        return None
    return next(code for code, _ in py3langid.rank(part) if code in NAMES)


def fault(text: str, kept: Collection[str]) -> tuple[str, str] | None:
    """Why `text` is dropped, in the form of `text_quality.fault`. Without languages to keep, nothing is dropped."""
    found = language(text) if kept else None
    if found is None or found in kept:
        return None
    wanted = ", ".join(NAMES[code] for code in sorted(kept))
    return OTHER, f"It looks like {NAMES[found]} ({found}); accepted: {wanted}."
