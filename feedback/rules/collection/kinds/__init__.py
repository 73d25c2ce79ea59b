"""Task kinds, one module each: what a valid answer is, how it is stored, and the pairs it becomes.

Each module has `resolve(answer, question) -> payload`, `unresolve(payload, shown) -> answer` and
`preferences(payload) -> list[Preference]`. Answers name letters, payloads name responses by public id.
"""
