"""The canonical form: what every dialect means, said once.

`parts` are what a message holds, `request` and `response` are whole values, `events` are a response as it is produced,
and `fold` turns one into the other. Whatever only one dialect can say stays in `extras` under that dialect's name, so
it goes through unchanged where the same dialect comes out and becomes a `Loss` where another does.
"""
