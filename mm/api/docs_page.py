"""The page at ``/docs``: every endpoint with a form that calls it, from ``/openapi.json`` alone."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>mm: the trading interface</title>
<style>
:root {color-scheme: light dark}
body {font: 15px/1.45 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem}
details {border: 1px solid #8886; border-radius: 6px; margin: .5rem 0; padding: .5rem .8rem}
summary {cursor: pointer; font-weight: 600}
code, textarea, pre {font: 13px/1.4 ui-monospace, monospace}
textarea {width: 100%; box-sizing: border-box}
label {display: block; margin: .3rem 0}
pre {overflow: auto; max-height: 24rem}
td {padding: .15rem .8rem .15rem 0; vertical-align: top}
td:first-child {font: 13px/1.6 ui-monospace, monospace}
</style></head><body><h1></h1><p></p>
<label>Token, where the server needs one <input type="password" autocomplete="off"></label><main></main>
<h2>Schemas</h2><section></section>
<script>
const token = document.querySelector("input");
const call = (url, options = {}) =>
  fetch(url, {...options, headers: token.value ? {Authorization: `Bearer ${token.value}`} : {}});
const make = (parent, name, text = "") => {
  const one = parent.appendChild(document.createElement(name));
  one.textContent = text;
  return one;
};
const EXAMPLES = {
  OrderRequest: {client_id: "mm_1", side: "buy", type: "limit", price: "100", size: "1"},
  CancelBody: {client_id: "mm_1"},
};
const show = (main, path, method, one) => {
  const box = make(main, "details");
  make(box, "summary", `${method.toUpperCase()} ${path}`);
  make(box, "p", one.description || one.summary || "");
  const inputs = (one.parameters || []).map(parameter => {
    const label = make(box, "label", `${parameter.name} `);
    const input = make(label, "input");
    input.placeholder = parameter.description || "";
    return [parameter, input];
  });
  const content = one.requestBody && one.requestBody.content["application/json"];
  const body = content && make(box, "textarea");
  if (body) body.value = JSON.stringify(EXAMPLES[content.schema.$ref.split("/").pop()], null, 2);
  if (body) body.rows = 7;
  const button = make(box, "button", "Send");
  const answer = make(box, "pre");
  button.onclick = async () => {
    const query = new URLSearchParams();
    let url = path;
    for (const [parameter, input] of inputs)
      if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(parameter.name, input.value);
    if (query.size) url += `?${query}`;
    const response = await call(url, {method: method.toUpperCase(), body: body ? body.value : undefined});
    answer.textContent = `${response.status} ${url}\\n${await response.text()}`;
  };
};
const kindOf = one =>
  one.$ref ? one.$ref.split("/").pop()
  : one.enum ? one.enum.map(value => JSON.stringify(value)).join(" | ")
  : one.anyOf ? one.anyOf.map(kindOf).join(" | ")
  : one.type === "array" ? `${kindOf(one.items || {})}[]`
  : one.type || "any";
const describe = (section, name, schema) => {
  const box = make(section, "details");
  make(box, "summary", name);
  make(box, "p", schema.description || (schema.properties ? "" : kindOf(schema)));
  const table = make(box, "table");
  for (const [field, one] of Object.entries(schema.properties || {})) {
    const row = make(table, "tr");
    const needed = (schema.required || []).includes(field);
    const fallback = "default" in one ? `, default ${JSON.stringify(one.default)}` : "";
    for (const text of [field, kindOf(one) + (needed ? ", required" : fallback), one.description || ""])
      make(row, "td", text);
  }
};
const load = async () => {
  const response = await call("openapi.json");
  if (!response.ok) {
    document.querySelector("p").textContent = await response.text();
    return;
  }
  const document_ = await response.json();
  document.querySelector("main").replaceChildren();
  document.querySelector("h1").textContent = document_.info.title;
  document.querySelector("p").textContent = document_.info.description;
  for (const [path, methods] of Object.entries(document_.paths))
    for (const [method, one] of Object.entries(methods)) show(document.querySelector("main"), path, method, one);
  const section = document.querySelector("section");
  section.replaceChildren();
  for (const [name, schema] of Object.entries(document_.components.schemas)) describe(section, name, schema);
};
token.onchange = load;
load();
</script></body></html>
"""
