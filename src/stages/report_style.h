// The look of a report. Without quotes, '&' and angle brackets: the text of a style element is not unescaped.
#pragma once

namespace steerlm {

inline constexpr const char* report_style = R"css(
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 0 1rem 3rem; font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin-top: 2.5rem; border-bottom: 2px solid #1a1a1a; }
h3 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
p, li { max-width: 48rem; overflow-wrap: anywhere; }
a { color: #0b4f8a; }
a:focus-visible, .box:focus-visible, pre:focus-visible { outline: 3px solid #0b5fa5; outline-offset: 2px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: .5rem; background: #fff; padding: .25rem .5rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; list-style: none; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; max-width: 34rem; break-inside: avoid; }
.figure-title { font-weight: 600; margin: .25rem 0; }
figcaption, .note { font-size: .85rem; color: #444; }
.note { display: block; margin-top: .25rem; }
svg.plot { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: #1a1a1a; }
svg .label { font-size: 12px; }
.grid { stroke: #ddd; stroke-width: 1; }
.axis { stroke: #1a1a1a; stroke-width: 1; }
.diagonal { stroke: #595959; stroke-width: 1.2; stroke-dasharray: 1 4; stroke-linecap: round; }
.series { fill: none; stroke-width: 1.7; stroke-linejoin: round; }
.interval { fill: none; stroke-width: 1.3; }
.bar { stroke: #0b4f8a; stroke-width: 1; }
.first { fill: #0b5fa5; }
.second { fill: #fff; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; gap: .5rem; max-width: none; }
.legend svg { flex: none; }
.box { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ccc; }
thead th { border-bottom: 2px solid #1a1a1a; vertical-align: bottom; }
thead .number { white-space: normal; }
tbody th { font-weight: 500; }
.number { text-align: right; white-space: nowrap; }
.matrix td, .matrix th { border: 1px solid #fff; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.matrix .own { outline: 2px solid #1a1a1a; outline-offset: -2px; font-weight: 700; }
.samples td, .samples th { min-width: 11rem; max-width: 22rem; }
.sample { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
.prompt { margin-top: 1.5rem; font-weight: 500; }
pre { font-size: .8rem; line-height: 1.35; max-height: 30rem; overflow: auto; padding: .75rem; border: 1px solid #999; }
@media (max-width: 600px) {
  body { font-size: .95rem; }
  .plots { grid-template-columns: 1fr; }
  .samples td, .samples th { min-width: 9rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 9pt; }
  nav, .skip { display: none; }
  h2, h3, caption, .figure-title, .legend, .prompt { break-after: avoid; }
  tr, figure { break-inside: avoid; }
  .plots { grid-template-columns: 1fr 1fr; }
  .box { overflow: visible; }
  table { font-size: 7.5pt; max-width: 100%; }
  th, td { padding: .15rem .3rem; }
  .number { white-space: normal; }
  figcaption, .note { font-size: 7.5pt; }
  .samples { table-layout: fixed; width: 100%; break-inside: avoid; }
  .samples td, .samples th { min-width: 0; }
  pre { max-height: none; overflow: visible; white-space: pre-wrap; overflow-wrap: anywhere; border: 0; padding: 0; }
}
)css";

}  // namespace steerlm
