// Nothing: this program exists for its precompiled header.
int main() {}
