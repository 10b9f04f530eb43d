"""What goes wrong in the lab itself."""


class LabError(Exception):
    """The lab failed, not what it tests: a device did not come up."""
