//! What a process inside a container is given and denied before its program starts.
