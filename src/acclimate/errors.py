"""A user's mistakes. The command line prints their messages without a traceback and exits with 2.

A message names the thing, what was found, what is allowed and what to type.
"""


class UserError(Exception):
    """Something that the user can mend."""


class ConfigError(UserError):
    """A key or a value of the configuration is wrong."""


class DataError(UserError):
    """The user's files are not what a data set needs."""


class StorageError(UserError):
    """A file cannot be written: the disk is full, a quota is used up, or a permission is missing."""


class DivergenceError(UserError):
    """Losses, gradients, weights or predictions of a run are not finite."""


class NotFiniteError(ValueError):
    """A computation that needs finite numbers was given others; in training this counts as a loss that is not finite."""


class Interrupted(BaseException):
    """The user stopped a training run; what it had reached is saved.

    Not an Exception: a sweep goes on after a job that failed, but not after one that was stopped.
    """
