// Quantizes a model folder to 4 bits and lets the result go on with a text.
#include <quarot/quarot.h>

#include <iostream>

int main(int argc, char** argv) try {
    if (argc != 3) throw quarot::Error(quarot::ErrorCode::Usage, "expected two folders: IN OUT");
    quarot::quantize_folder(argv[1], argv[2], {.recipe = "quarot-rtn"});
    quarot::Session session(quarot::Model::load(argv[2]));
    std::cout << session.generate("It was a dark", {.max_tokens = 40}).text << '\n';
} catch (const quarot::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
}
