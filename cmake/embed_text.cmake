# cmake -DIN=FILE -DOUT=FILE.cpp -DNAMESPACE=a::b -DNAME=kText -P embed_text.cmake: a source file that
# defines `const std::string_view NAME` with the bytes of IN.
file(READ ${IN} text)
string(FIND "${text}" ")quarot_text\"" at)
if(NOT at EQUAL -1)
    message(FATAL_ERROR "${IN} holds the end of a raw string")
endif()
file(WRITE ${OUT} "// Made from ${NAME}'s file by the build.\n#include <string_view>\n\n"
     "namespace ${NAMESPACE} {\n\nextern const std::string_view ${NAME};\n"
     "const std::string_view ${NAME} = R\"quarot_text(${text})quarot_text\";\n\n}\n")
