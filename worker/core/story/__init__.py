"""What the log tells of one request, in words: from lines to records, from records to sentences.

Pure: files and terminals are `flowbridge explain`'s. Lines come from anywhere, so nothing here raises for their sake.
"""
