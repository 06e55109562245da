// Denies prompts that hold one of the config's phrases, or only tags them:
//
//   {"phrases": ["ignore previous instructions", "you are now dan"], "observe": false}
//
// The case of ASCII letters does not count, and a space stands for any run of white space.
#define WEDGE1_CAPS WEDGE1_CAP_USER
#include "wedge1.h"

namespace {

class Phrases {
public:
    bool add(wedge1_str phrase) {
        if (count == capacity || phrase.len == 0) return false;
        all[count++] = phrase;
        return true;
    }

    // The number of the first phrase that the text holds, or -1.
    int first_in(wedge1_str text) const {
        for (int i = 0; i < count; i++)
            for (uint32_t at = 0; at < text.len; at++)
                if (begins(wedge1_cut(text, at, text.len), all[i])) return i;
        return -1;
    }

private:
    static bool space(uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

    static bool begins(wedge1_str text, wedge1_str phrase) {
        uint32_t at = 0;
        for (uint32_t i = 0; i < phrase.len; i++) {
            if (i > 0 && phrase.ptr[i] == ' ' && phrase.ptr[i - 1] == ' ') continue;
            if (at == text.len) return false;
            if (phrase.ptr[i] != ' ') {
                if (wedge1_lower(text.ptr[at]) != wedge1_lower(phrase.ptr[i])) return false;
                at++;
                continue;
            }
            if (!space(text.ptr[at])) return false;
            while (at < text.len && space(text.ptr[at])) at++;
        }
        return true;
    }

    static const int capacity = 64;
    wedge1_str all[capacity];
    int count;
};

Phrases phrases;
bool observe;

}  // namespace

WEDGE1_INIT(config) {
    observe = wedge1_eq(wedge1_json_get(config, WEDGE1_S("observe")), WEDGE1_S("true"));
    wedge1_str list = wedge1_json_get(config, WEDGE1_S("phrases")), phrase;
    if (!list.ptr) return WEDGE1_ERR_CONFIG;
    wedge1_json_walk walk = wedge1_json(list);
    while (wedge1_json_element(&walk, &phrase))
        if (!phrases.add(phrase)) return WEDGE1_ERR_CONFIG;
    return 0;
}

WEDGE1_REQUEST(request, actions) {
    int found = phrases.first_in(wedge1_of(request, request->last_user));
    if (found < 0) return 0;
    const uint8_t number[2] = {uint8_t('0' + found / 10), uint8_t('0' + found % 10)};
    wedge1_metric(actions, WEDGE1_S("guard"), wedge1_text(number, 2));
    if (!observe) wedge1_deny(actions, 403, 0, WEDGE1_S("The prompt looks like an attempt to change the instructions."));
    return 0;
}
