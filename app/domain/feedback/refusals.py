from app.domain.problems import Fault, Invalid


def refused(pointer: str, code: str, rule: str) -> Invalid:
    """What is said of one member of a body that breaks a rule; `rule` goes on after the member's name."""
    return Invalid(code, f"{pointer.removeprefix('#/')}: {rule}.", errors=[Fault(pointer, code, rule)])
