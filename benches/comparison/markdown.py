"""Tables and figures in Markdown."""


def number(value, digits=3):
    """So many digits that count; more say nothing."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return f"{float(text):.10f}".rstrip("0").rstrip(".") if "e" in text else text


def rows(heads, lines):
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    out += ["| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines]
    return "\n".join(out) + "\n"


def plural(count, noun):
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
