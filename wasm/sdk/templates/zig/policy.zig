//! {{name}}: sends long prompts to the target "large".
const w = @import("wedge1.zig");

pub fn request(r: *const w.Request, a: *w.Actions) w.Error!void {
    if (r.prompt_tokens > 2000) a.target("large");
}

comptime {
    w.serve(@This());
}
