"""An operator profile with a known share off the delegate, for tests of what shows it."""

from edgekit.measure.operators import OperatorsDocument, OperatorTime


def profile(blocks=40):
    """Return a profile of blocks with two layers each, in a delegate, and one operator off it, in ms: 0.01 and 0.1."""
    operators = [
        OperatorTime(operator="Conv", name="Conv", mean_ms=0.01, inside=True, module=f"features.{block}.{layer}")
        for block in range(blocks)
        for layer in range(2)
    ]
    odd = OperatorTime(operator="SIGN", name="SIGN", mean_ms=0.1, module="odd")
    delegate = OperatorTime(operator="DELEGATE_CALL", name="DELEGATE_CALL", mean_ms=0.02 * blocks)
    whole = 0.02 * blocks + 0.1
    return OperatorsDocument(profiler="ExecuTorch", runs=20, mean_ms=whole, operators=[*operators, odd, delegate])
