// {{name}}: sends long prompts to the target "large".
import { Actions, Request, serve } from "./wedge1";
export { wedge1_alloc, wedge1_caps, wedge1_init, wedge1_request } from "./wedge1";

serve(0, (r: Request, a: Actions): i32 => {
  if (r.promptTokens > 2000) a.target("large");
  return 0;
});
