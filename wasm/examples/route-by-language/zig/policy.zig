//! Sends a request to the target that the config names for the client's first language: {"fr": "eu", "*": "us"}.
const w = @import("wedge1.zig");

pub const caps = w.headers;

var rules: [32]w.Json.Member = undefined;
var count: usize = 0;
var otherwise: w.Text = "";

pub fn init(config: w.Text) w.Error!void {
    var walk = w.Json.walk(config);
    while (walk.member()) |rule| {
        if (w.eql(rule.name, "*")) {
            otherwise = rule.value;
            continue;
        }
        if (count == rules.len) return error.Config;
        rules[count] = rule;
        count += 1;
    }
}

pub fn request(r: *const w.Request, a: *w.Actions) w.Error!void {
    const language = firstLanguage(r.header("accept-language") orelse "");
    const target = for (rules[0..count]) |rule| {
        if (w.eqlFold(rule.name, language)) break rule.value;
    } else otherwise;
    if (target.len > 0) a.target(target);
}

/// "fr-CH, en;q=0.8" speaks fr: a language ends where its letters end.
fn firstLanguage(header: w.Text) w.Text {
    var n: usize = 0;
    while (n < header.len and w.lower(header[n]) -% 'a' < 26) n += 1;
    return header[0..n];
}

comptime {
    w.serve(@This());
}
