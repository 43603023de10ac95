// Which version of the library is this?
#include "quarot/version.h"

#include "recipe/recipe.h"

namespace quarot {

std::string version() {
    return QUAROT_VERSION;
}

std::vector<std::string> recipe_names() {
    return known_recipes();
}

}  // namespace quarot
