/* A bug behind three bytes, each of which is looked at only if the one before was right: whoever sees edges finds it byte by
byte, whoever does not has to guess all of them at once. `make fuzz` finds it before it searches for anything else. */

#include <stddef.h>
#include <stdint.h>

int planted(const uint8_t* data, size_t size) {
    if (size < 3 || data[0] != 0x07)
        return 0;
    if (data[1] != 'q')
        return 1;
    if (data[2] != 0xd3)
        return 2;
    return -1;
}
