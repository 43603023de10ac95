// Asio's names, as the server's files use them.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

namespace quarot::serve {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using NetError = boost::system::error_code;
using Timer = asio::steady_timer;

}  // namespace quarot::serve
