"""How a tearsheet looks: its page and its style sheet, both whole in themselves."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

STYLE = """
:root { --s0: #1f5fa8; --s1: #c2571a; --ink: #1b1f24; --soft: #667; --rule: #e3e6ea; }
* { box-sizing: border-box; }
body { font: 14px/1.45 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink);
  max-width: 960px; margin: 2rem auto; padding: 0 1rem; background: #fff; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; overflow-wrap: anywhere; }
header { border-bottom: 2px solid var(--ink); padding-bottom: .6rem; display: flex;
  flex-wrap: wrap; gap: 0 2rem; }
header h1 { flex: 1 0 100%; }
header section { flex: 1 1 320px; min-width: 0; }
header h2 { margin: 0 0 .2rem; font-size: .95rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: 0;
  font-size: .85rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0 0; }
figcaption { font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
.tick { font-size: 11px; fill: var(--soft); }
.grid { stroke: var(--rule); stroke-width: 1; }
.zero { stroke: var(--soft); stroke-width: 1; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); }
.line.b0 { stroke: var(--s0); opacity: .55; stroke-dasharray: 4 3; stroke-width: 1.1; }
.line.b1 { stroke: var(--s1); opacity: .55; stroke-dasharray: 4 3; stroke-width: 1.1; }
.area { stroke-width: 1; fill-opacity: .25; }
.area.s0 { fill: var(--s0); stroke: var(--s0); } .area.s1 { fill: var(--s1); stroke: var(--s1); }
.bar.s0 { fill: var(--s0); } .bar.s1 { fill: var(--s1); }
.key { font-weight: 400; font-size: .85rem; margin-left: 1rem; color: var(--soft);
  overflow-wrap: anywhere; }
.key::before { content: ""; display: inline-block; width: 1.2em; margin-right: .4em;
  vertical-align: middle; border-top: 3px solid var(--s0); }
.key.s1::before { border-top-color: var(--s1); }
.key.b0::before { border-top: 2px dashed var(--s0); }
.key.b1::before { border-top: 2px dashed var(--s1); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .85rem; padding-top: .4rem; }
th, td { padding: .2rem .5rem; border-bottom: 1px solid var(--rule); text-align: right;
  font-weight: 400; }
thead th { color: var(--soft); font-size: .8rem; overflow-wrap: anywhere; }
th[scope=row] { text-align: left; } th[scope=colgroup] { text-align: center; }
.months { font-size: .78rem; } .months td, .months th { padding: .15rem .25rem; }
.up { background: #e6f4ea; } .down { background: #fcebe9; }
.note, .nothing { color: var(--soft); font-size: .85rem; }
@media print { body { margin: 0; max-width: none; } figure, table { break-inside: avoid; } }
"""
