"""What a report or an invoice is to other programs and to people: pure functions of the document, byte for byte repeatable."""
