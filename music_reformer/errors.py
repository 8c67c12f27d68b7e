"""The one exception whose text is meant for the person at the keyboard.

Everything a user can get wrong (a bad file, a misspelt key, a foreign checkpoint) is raised as `UserError` with one
clear sentence that names what is wrong and what to do. The command line prints that sentence and exits with 2; the
page shows it as a message. Any other exception is a defect of ours and keeps its traceback.
"""


class UserError(ValueError):
    """What the user gave cannot be used; `str(error)` is one sentence for them."""
