"""The explorer in a browser: `marimo run` this file, or `python -m sde_sgd explore`."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-incomplete-defs=False

import marimo

app = marimo.App(width="full", app_title="SGD beside its SDE")


@app.cell
def _():
    import jax
    import marimo as mo

    from sde_sgd import explorer
    from sde_sgd.explorer._controls import TABS, controls

    key = jax.random.key(0)
    return TABS, controls, explorer, key, mo


@app.cell
def _(TABS, mo):
    tab = mo.ui.radio(list(TABS), value="wells", inline=True)
    return (tab,)


@app.cell
def _(TABS, controls, mo):
    def offered(control):
        """A slider over the values, or a list of them."""
        if control.is_slider:
            return mo.ui.slider(
                steps=list(control.options), value=control.value, label=control.label, show_value=True
            )
        return mo.ui.dropdown(list(control.options), value=control.value, label=control.label)

    wells, digits = (
        mo.ui.dictionary({control.name: offered(control) for control in controls(kind)})
        for kind in TABS.values()
    )
    return digits, wells


@app.cell
def _(TABS, digits, explorer, key, mo, tab, wells):
    moved = {"wells": wells, "digits": digits}[tab.value]
    shown = explorer.html(TABS[tab.value](**moved.value), key=key)
    places = "".join(f"<div>{one}</div>" for one in moved.elements.values())
    grid = "display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,310px),1fr));gap:4px 16px"
    top = "display:flex;flex-wrap:wrap;gap:4px 24px;align-items:center;margin-bottom:8px"
    mo.Html(
        f'<div id="explorer" style="padding:4px">'
        f'<div style="{top}"><strong>SGD beside its SDE</strong>{tab}</div>{shown}'
        f'<div style="{grid};margin-top:12px">{places}</div></div>'
    )
    return


if __name__ == "__main__":
    app.run()
