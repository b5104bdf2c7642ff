# What is installed beside the programs and their manual pages (menagerie_program): recipes where `zoo` looks
# for them (<prefix>/share/menagerie/recipes), completions where each shell does, and the documents.

install(DIRECTORY ${CMAKE_SOURCE_DIR}/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/menagerie)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}
  PATTERN man EXCLUDE PATTERN next.md EXCLUDE)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Completions are made of what the programs' help says.
set(completions ${CMAKE_BINARY_DIR}/completions)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_custom_command(OUTPUT ${completions}/bash/imgtool
  COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/cmake/completions.py ${CMAKE_BINARY_DIR}/bin ${completions}
  DEPENDS imgtool emulator zoo ${CMAKE_SOURCE_DIR}/cmake/completions.py
  COMMENT "Making completions for bash, zsh and fish" VERBATIM)
add_custom_target(completions ALL DEPENDS ${completions}/bash/imgtool)
install(DIRECTORY ${completions}/bash/ DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(DIRECTORY ${completions}/zsh/ DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(DIRECTORY ${completions}/fish/ DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
