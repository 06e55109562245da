// Decides by a list of rules, the first that fits:
//
//   {"rules": [{"if": {"headers": {"x-plan": "free"}, "min_tokens": 100, "tenant": "acme"}, "then": {"target": "small"}}]}
//
// What stands under "then" is any object of actions.
const caps = ["headers"];

let rules = [];

function init(config) {
  if (!Array.isArray(config.rules)) throw new Error("config: rules is missing");
  rules = config.rules;
}

function request(view) {
  return rules.find((rule) => fits(rule.if ?? {}, view))?.then;
}

function fits({ tenant, min_tokens, headers }, view) {
  if (tenant !== undefined && tenant !== view.tenant) return false;
  if (min_tokens !== undefined && view.prompt_tokens < min_tokens) return false;
  return Object.entries(headers ?? {}).every(([name, value]) => view.headers[name] === value);
}
