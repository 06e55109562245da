/// Saves money: a short, plain prompt goes to a cheap model, any other to the cheapest target that is well.
///
///   {"model": "small-bot", "tokens": 400}
module policy;

import wedge1;

@nogc nothrow:

__gshared Text cheapModel;
__gshared uint shortest;

int init(Text config) {
    cheapModel = jsonGet(config, "model");
    immutable tokens = parseInt(jsonGet(config, "tokens"), 400);
    if (tokens < 0 || tokens > uint.max) return Err.config;
    shortest = cast(uint) tokens;
    return 0;
}

int request(const Request* r, ref Actions a) {
    immutable plain = !r.flag(Request.TOOLS | Request.IMAGES | Request.JSON_OUTPUT);
    if (plain && cheapModel.length && r.promptTokens <= shortest) {
        a.model(cheapModel);
        return 0;
    }
    const(Target)* best;
    foreach (ref t; r.targetRows()) {
        if ((t.flags & (Target.HEALTHY | Target.BREAKER)) != Target.HEALTHY) continue;
        if (t.priceIn == uint.max || t.priceOut == uint.max) continue;
        if (best is null || price(t) < price(*best)) best = &t;
    }
    if (best !is null) a.target(r.text(best.name));
    return 0;
}

/// Of a thousand tokens in and as many out.
ulong price(ref const Target t) { return cast(ulong) t.priceIn + t.priceOut; }

mixin Wedge1!(CAP_TARGETS, request, init);
