// The few things that come from the environment. Nothing else reads it: a setting that hides there surprises people.
#pragma once

namespace evercert {

// NO_COLOR is set and not empty: programs shall print no colours.
bool environment_says_no_color();

}  // namespace evercert
