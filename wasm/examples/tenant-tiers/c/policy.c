/* Holds each tenant to a ceiling of spending: from 80 % of it a cheaper model answers, at 100 % nobody does.
 *
 *   {"window_s": 86400, "cheaper": "small-bot", "micro_usd": {"acme": 2000000, "*": 500000}}
 *
 * The done hook adds what a request cost to the tenant's counter, which lives for one window. */
#define WEDGE1_CAPS WEDGE1_CAP_DONE
#include "wedge1.h"

enum { DAY_S = 86400, MAX_KEY = 128 };

static wedge1_str ceilings, cheaper;
static uint32_t window_s = DAY_S;

WEDGE1_INIT(config) {
    ceilings = wedge1_json_get(config, WEDGE1_S("micro_usd"));
    cheaper = wedge1_json_get(config, WEDGE1_S("cheaper"));
    int64_t window = wedge1_int(wedge1_json_get(config, WEDGE1_S("window_s")), DAY_S);
    if (!ceilings.ptr || window <= 0 || window > UINT32_MAX) return WEDGE1_ERR_CONFIG;
    window_s = (uint32_t)window;
    return 0;
}

static wedge1_str counter(wedge1_str tenant) {
    static uint8_t key[MAX_KEY] = "spent:";
    tenant = wedge1_cut(tenant, 0, MAX_KEY - 6);
    wedge1_copy(key + 6, tenant.ptr, tenant.len);
    return wedge1_text(key, 6 + tenant.len);
}

WEDGE1_REQUEST(request, actions) {
    wedge1_str tenant = wedge1_of(request, request->tenant);
    wedge1_state(actions, tenant); /* the done hook has no other way to know it */
    wedge1_str limit = wedge1_json_get(ceilings, tenant);
    if (!limit.ptr) limit = wedge1_json_get(ceilings, WEDGE1_S("*"));
    int64_t ceiling = wedge1_int(limit, -1) * 1000; /* nano-USD, as costs are */
    if (ceiling < 0) return 0;
    int64_t spent = 0;
    wedge1_str key = counter(tenant);
    if (wedge1_kv_read(key.ptr, key.len, (uint8_t *)&spent, 8) != 8) spent = 0;
    if (spent >= ceiling)
        wedge1_deny(actions, 429, 3600, WEDGE1_S("The tenant has spent what it may."));
    else if (cheaper.len && spent >= ceiling / 5 * 4)
        wedge1_model(actions, cheaper);
    return 0;
}

WEDGE1_DONE(done, actions) {
    wedge1_str tenant = wedge1_of(done, done->state);
    if (done->cost_nano_usd != UINT64_MAX && done->cost_nano_usd && tenant.len)
        wedge1_kv_add(actions, counter(tenant), (int64_t)done->cost_nano_usd, window_s);
    return 0;
}
