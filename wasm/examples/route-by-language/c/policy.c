/* Sends a request to the target that the config names for the client's first language: {"fr": "eu", "*": "us"}. */
#define WEDGE1_CAPS WEDGE1_CAP_HEADERS
#include "wedge1.h"

#define MAX_RULES 32

static struct {
    wedge1_str language, target;
} rules[MAX_RULES];
static uint32_t count;
static wedge1_str otherwise;

WEDGE1_INIT(config) {
    wedge1_json_walk walk = wedge1_json(config);
    wedge1_str language, target;
    while (wedge1_json_member(&walk, &language, &target)) {
        if (wedge1_eq(language, WEDGE1_S("*"))) {
            otherwise = target;
        } else if (count < MAX_RULES) {
            rules[count].language = language;
            rules[count++].target = target;
        } else {
            return WEDGE1_ERR_CONFIG;
        }
    }
    return 0;
}

/* "fr-CH, en;q=0.8" speaks fr: a language ends where its letters end. */
static wedge1_str first_language(wedge1_str header) {
    uint32_t n = 0;
    while (n < header.len && wedge1_lower(header.ptr[n]) >= 'a' && wedge1_lower(header.ptr[n]) <= 'z') n++;
    return wedge1_cut(header, 0, n);
}

WEDGE1_REQUEST(request, actions) {
    wedge1_str language = first_language(wedge1_header(request, WEDGE1_S("accept-language")));
    wedge1_str target = otherwise;
    for (uint32_t i = 0; i < count; i++) {
        if (wedge1_eq_fold(rules[i].language, language)) {
            target = rules[i].target;
            break;
        }
    }
    if (target.len) wedge1_target(actions, target);
    return 0;
}
