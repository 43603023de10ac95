// Lets a model go on with several texts at once; each comes out piece by piece, one behind another.
#include <quarot/quarot.h>

#include <iostream>
#include <vector>

int main(int argc, char** argv) try {
    if (argc < 3) throw quarot::Error(quarot::ErrorCode::Usage, "expected MODEL TEXT...");
    quarot::Engine engine(quarot::Model::load(argv[1]));
    std::vector<quarot::Request> requests;
    for (int i = 2; i < argc; ++i) {
        requests.push_back(engine.submit(argv[i], {.generate = {.max_tokens = 40}}));
    }
    for (quarot::Request& request : requests) {
        while (const auto piece = request.next()) std::cout << *piece << std::flush;
        std::cout << '\n';
    }
} catch (const quarot::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
}
