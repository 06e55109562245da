/* Sends a share of users to a new version, always the same ones: {"version": "1.1.0", "percent": 10, "salt": "s1"}.
 * Another salt draws other users. Without a user the tenant counts. */
#define WEDGE1_CAPS 0
#include "wedge1.h"

static wedge1_str version;
static uint64_t salt, percent;

WEDGE1_INIT(config) {
    int64_t share = wedge1_int(wedge1_json_get(config, WEDGE1_S("percent")), -1);
    version = wedge1_json_get(config, WEDGE1_S("version"));
    salt = wedge1_hash(0, wedge1_json_get(config, WEDGE1_S("salt")));
    if (!version.len || share < 0 || share > 100) return WEDGE1_ERR_CONFIG;
    percent = (uint64_t)share;
    return 0;
}

WEDGE1_REQUEST(request, actions) {
    wedge1_str unit = wedge1_of(request, request->user.len ? request->user : request->tenant);
    int drawn = wedge1_hash(salt, unit) % 100 < percent;
    if (drawn) wedge1_version(actions, version);
    wedge1_metric(actions, WEDGE1_S("canary"), drawn ? WEDGE1_S("yes") : WEDGE1_S("no"));
    return 0;
}
