// Answers with the path.
#include <cstdlib>
#include <httplib.h>

int main(int, char **argv) {
    httplib::Server server;
    server.Get("/.*", [](const httplib::Request &request, httplib::Response &response) {
        response.set_content("at " + request.path, "text/plain");
    });
    return server.listen(argv[1], std::atoi(argv[2])) ? EXIT_SUCCESS : EXIT_FAILURE;
}
