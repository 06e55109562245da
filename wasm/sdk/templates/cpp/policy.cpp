/* {{name}}: sends long prompts to the target "large". */
#define WEDGE1_CAPS 0
#include "wedge1.h"

WEDGE1_REQUEST(request, actions) {
    if (request->prompt_tokens > 2000) wedge1_target(actions, WEDGE1_S("large"));
    return 0;
}
