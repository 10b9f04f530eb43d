"""Device profiles for tests: the same device as another kind."""

from edgekit.devices.profile import config_of


def of_kind(profile, kind=None, **keys):
    """Return a profile of the same device as another kind, or with other keys; options that the kind lacks are dropped."""
    config = config_of(kind or profile.kind)
    common = {key: value for key, value in profile.model_dump().items() if key in config.model_fields}
    return config.model_validate({**common, "kind": kind or profile.kind, **keys})
