// Sends a request to the target that the config names for the client's first language: {"fr": "eu", "*": "us"}.
import {
  Actions, byteOf, cut, HEADERS, is, JSONWalk, lengthOf, Request, sameFold, serve, serveInit, Text,
} from "./wedge1";
export { wedge1_alloc, wedge1_caps, wedge1_init, wedge1_request } from "./wedge1";

const languages: Text[] = [];
const targets: Text[] = [];
let otherwise: Text = 0;

serveInit((config: Text): i32 => {
  const walk = new JSONWalk(config);
  while (walk.nextMember()) {
    if (is(walk.name, "*")) {
      otherwise = walk.value;
    } else {
      languages.push(walk.name);
      targets.push(walk.value);
    }
  }
  return 0;
});

// "fr-CH, en;q=0.8" speaks fr: a language ends where its letters end.
function firstLanguage(header: Text): Text {
  let n: u32 = 0;
  while (n < lengthOf(header) && (<u32>byteOf(header, n) | 32) - 97 < 26) n++;
  return cut(header, 0, n);
}

serve(HEADERS, (r: Request, a: Actions): i32 => {
  const language = firstLanguage(r.header("accept-language"));
  let target = otherwise;
  for (let i = 0; i < languages.length; i++) {
    if (sameFold(unchecked(languages[i]), language)) {
      target = unchecked(targets[i]);
      break;
    }
  }
  if (lengthOf(target) > 0) a.targetText(target);
  return 0;
});
