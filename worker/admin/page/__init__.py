"""The status page for people: its parts, written by hand, and how they become one document without any asset."""
