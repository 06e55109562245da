// Sends a share of users to a new version, always the same ones: {"version": "1.1.0", "percent": 10, "salt": "s1"}.
// Another salt draws other users. Without a user the tenant counts.
import { Actions, ERR_CONFIG, hash, int, lengthOf, member, Request, serve, serveInit, Text } from "./wedge1";
export { wedge1_alloc, wedge1_caps, wedge1_init, wedge1_request } from "./wedge1";

let version: Text = 0;
let salt: u64 = 0;
let percent: u64 = 0;

serveInit((config: Text): i32 => {
  const share = int(member(config, "percent"), -1);
  version = member(config, "version");
  salt = hash(0, member(config, "salt"));
  if (lengthOf(version) == 0 || share < 0 || share > 100) return ERR_CONFIG;
  percent = share;
  return 0;
});

serve(0, (r: Request, a: Actions): i32 => {
  const unit = lengthOf(r.user) > 0 ? r.user : r.tenant;
  const drawn = hash(salt, unit) % 100 < percent;
  if (drawn) a.versionText(version);
  a.metric("canary", drawn ? "yes" : "no");
  return 0;
});
