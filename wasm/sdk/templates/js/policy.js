// {{name}}: sends long prompts to the target "large".
function request(view) {
  if (view.prompt_tokens > 2000) return { target: "large" };
}
