// Which decimal number did people mean who wrote a float?
#pragma once

namespace quarot {

// The double with the shortest decimal that reads back as this float: 0.8 for 0.8f, not
// 0.800000011920929. Infinities and NaN stay what they are.
double as_written(float value);

}  // namespace quarot
