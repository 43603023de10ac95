// All of quarot's library: rotate, quantize to 4 bits and run large language models.
//
// Everything that fails throws quarot::Error, or std::bad_alloc where memory runs out. Handles are
// cheap to move; what a handle refers to lives as long as one of them. Texts are UTF-8, folders are
// paths as the operating system takes them, sizes named bytes are bytes, tokens are counted in
// tokens. Nothing is read from the environment and no signal handler is installed; but OpenBLAS, of
// which a process has one, is set to one thread: the order of its sums would follow the number.
#pragma once

#include "quarot/chat.h"
#include "quarot/engine.h"
#include "quarot/error.h"
#include "quarot/log.h"
#include "quarot/model.h"
#include "quarot/progress.h"
#include "quarot/quantize.h"
#include "quarot/session.h"
#include "quarot/tokenizer.h"
#include "quarot/version.h"
