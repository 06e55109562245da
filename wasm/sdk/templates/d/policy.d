/// {{name}}: sends long prompts to the target "large".
module policy;

import wedge1;

@nogc nothrow:

int request(const Request* r, ref Actions a) {
    if (r.promptTokens > 2000) a.target("large");
    return 0;
}

mixin Wedge1!(0, request);
