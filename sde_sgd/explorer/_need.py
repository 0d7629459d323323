"""What only the shells need."""

from sde_sgd._platform._packages import need


def need_shell(package: str, what: str) -> None:
    """Refuse a shell whose package is not there, with the line that installs it.

    Raises:
        ImportError: if it cannot be imported.
    """
    try:
        need(package, what)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {package}, which cannot be imported: pip install 'sde_sgd[explore]'.", name=package
        ) from error
